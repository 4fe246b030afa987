"""Taking the files of a backup away. Whoever may do that can read what is in the databases."""

from __future__ import annotations

from dataclasses import dataclass

from actions.door import Identity, action
from blocks.addresses import keyring, open_storage
from core import naming
from core.jobs import Address
from core.permissions import Permission
from services import stored, takeaway
from services.authorship import Authors
from services.takeaway import Form, Takeaway


@dataclass(frozen=True)
class Choice:
    """One file of a backup on one destination, by its name in the manifest, or the manifest itself."""

    backup: str
    storage: Address
    file: str = naming.MANIFEST
    form: Form = Form.STORED

    def __str__(self) -> str:
        return f"{self.file} of {self.backup} on {self.storage.shown}, {self.form.value}"


@action(Permission.BACKUPS_DOWNLOAD, target=str)
def download(who: Identity, choice: Choice) -> Takeaway:
    """A file's bytes, which are drawn afterwards. Raises BackupNotFound, and for the plain form WrongKey and
    TamperedManifest.
    """
    storage = open_storage(choice.storage)
    with who.concealing(Permission.BACKUPS_DOWNLOAD):
        backup = stored.resolve(storage, choice.backup)
    who.require(Permission.BACKUPS_DOWNLOAD, backup.manifest.source.name)
    if choice.file == naming.MANIFEST:
        return takeaway.manifest_of(backup)
    file = takeaway.file_of(backup, choice.file)
    if choice.form is Form.STORED:
        return takeaway.stored_file(storage, backup, file)
    keys = keyring()
    Authors(storage).require(backup, keys)
    return takeaway.plain_file(storage, backup, file, keys)
