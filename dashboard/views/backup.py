"""One backup: what is in it, where its copies lie, how they were checked, and what can be done with them."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from actions import backups, integrity, inventory
from actions.door import Identity
from actions.downloads import Choice
from actions.integrity import Followed
from actions.inventory import Detail
from core import words
from core.jobs import Address, IntegritySpec
from core.manifest import Contents, Manifest, ManifestFile
from core.permissions import Permission as May
from dashboard import downloads, links
from dashboard.components import following
from dashboard.components.dialogs import confirm
from dashboard.components.figures import moment
from dashboard.components.problems import escaped
from db.inventory import Copy
from services.takeaway import Form, plain_name


def draw(who: Identity, backup_id: str) -> None:
    """The page of one backup."""
    if st.button("All backups", icon=":material/arrow_back:", type="tertiary"):
        st.query_params.clear()
        st.rerun()
    found = inventory.detail(who, backup_id)
    _said()
    st.title(f"{escaped(found.held.job)}, {moment(found.held.started_at)}")
    _remarks(found)
    _figures(found)
    _actions(who, found)
    if run := st.query_params.get("check"):
        following.watch(lambda visitor: integrity.follow(visitor, run), _checking, who)
    st.subheader("Copies")
    for copy in found.held.copies:
        _copy(who, found, copy)
    _contents(found.manifest)
    _history(found)
    with st.expander("Manifest", icon=":material/data_object:"):
        st.json(found.manifest.model_dump(mode="json"))


def _said() -> None:
    """What the last click did, once."""
    if told := st.session_state.pop("backup-said", ""):
        st.success(escaped(told), icon=":material/check:")


def _say(text: str) -> None:
    st.session_state["backup-said"] = text
    st.rerun()


def _remarks(found: Detail) -> None:
    if found.manifest.missing:
        names = escaped(", ".join(found.manifest.missing))
        st.warning(f"This backup never held {names}, although it was asked for.", icon=":material/warning:")
    for copy in found.held.copies:
        if copy.passed is False:
            st.error(
                f"The copy on {escaped(copy.storage)} failed its last check: {escaped(copy.detail)}",
                icon=":material/error:",
            )


def _figures(found: Detail) -> None:
    held, manifest = found.held, found.manifest
    key = next((one.encryption for one in manifest.files if one.encryption), None)
    seconds = (manifest.finished_at - manifest.started_at).total_seconds()
    with st.container(horizontal=True):
        st.metric("Stored, each copy", words.size(held.size), border=True)
        st.metric("Dump", words.size(held.dump_size), border=True)
        st.metric("Took", words.duration(int(seconds)) if seconds >= 1 else "less than 1 s", border=True)
        st.metric("Copies", str(len(held.copies)), border=True)
    source = manifest.source
    facts = [
        ("Source", f"{source.name}: {source.engine} {source.server_version}, dumped by {source.tool}"),
        ("Begun by", {"schedule": "its schedule", "manual": "a person"}.get(manifest.trigger, "a Python program")),
        ("Encrypted", f"with profile {key.profile}, key {key.key_id}" if key else "no"),
        ("Id", manifest.backup_id),
    ]
    st.markdown("  \n".join(f"**{name}** {escaped(fact)}" for name, fact in facts))


def _actions(who: Identity, found: Detail) -> None:
    backup_id, source = found.held.backup_id, found.held.source
    places = [copy.storage for copy in found.held.copies if Address(copy.storage).is_name]
    if not places:
        return
    with st.container(horizontal=True):
        if who.reaches(May.BACKUPS_RESTORE, source) and st.button(
            "Restore…", icon=":material/settings_backup_restore:", type="primary"
        ):
            links.go("restore", backup=backup_id)
        if who.reaches(May.BACKUPS_VERIFY, source) and st.button(
            "Check now", icon=":material/fact_check:", help="Read every byte back, and compare it with the manifest."
        ):
            wish = IntegritySpec(backup=backup_id, storages=tuple(map(Address, places)))
            st.query_params["check"] = integrity.start(who, wish)
            st.rerun()
        if who.reaches(May.BACKUPS_DOWNLOAD, source):
            with st.popover("Download", icon=":material/download:"):
                _downloads(found.manifest, places)


def _checking(found: Followed) -> None:
    with st.container(border=True):
        st.markdown(f"{following.badge(found.run.state)} The check that was begun here")
        following.progress(found.run)
        for one in found.report.checked if found.report else ():
            how = one.reason or one.method
            st.markdown(f"{escaped(one.storage)}: {escaped(one.outcome)}, {escaped(how)}")


def _downloads(manifest: Manifest, places: list[str]) -> None:
    storage = st.selectbox("From", places, key="download-from") if len(places) > 1 else places[0]
    form = st.radio(
        "As",
        [Form.PLAIN, Form.STORED],
        format_func=lambda one: (
            "plain dumps: decrypted, decompressed" if one is Form.PLAIN else "stored files, as they are"
        ),
        key="download-as",
    )
    for file in manifest.files:
        name = plain_name(file) if form is Form.PLAIN else file.name
        size = file.dump_size if form is Form.PLAIN else file.size
        choice = Choice(manifest.backup_id, Address(storage), file.name, form)
        st.link_button(f"{escaped(name)}, {words.size(size)}", downloads.link(choice), width="stretch")
    if form is Form.STORED:
        choice = Choice(manifest.backup_id, Address(storage))
        st.link_button("The manifest", downloads.link(choice), width="stretch")
    st.caption("Whoever has a plain dump can read the database. Each download is written into the audit.")


def _copy(who: Identity, found: Detail, copy: Copy) -> None:
    backup_id, source = found.held.backup_id, found.held.source
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"**{escaped(copy.storage)}**{'  :material/keep: pinned' if copy.locked else ''}  \n{_check(copy)}",
            width="stretch",
        )
        if not Address(copy.storage).is_name:
            st.caption("not a saved storage: use the command line")
            return
        if not who.reaches(May.BACKUPS_WRITE, source):
            return
        pin = ("Unpin", "keep_off") if copy.locked else ("Pin", "keep")
        if st.button(
            pin[0], icon=f":material/{pin[1]}:", key=f"pin-{copy.storage}", help="A pinned copy is never deleted."
        ):
            backups.set_lock(who, backup_id, Address(copy.storage), locked=not copy.locked)
            _say(f"The copy on {copy.storage} is {'no longer pinned' if copy.locked else 'pinned'}.")
        if st.button(
            "Delete…",
            icon=":material/delete:",
            key=f"delete-{copy.storage}",
            disabled=copy.locked,
            help="A pinned copy has to be unpinned first." if copy.locked else None,
        ):
            _delete(found, copy)


def _check(copy: Copy) -> str:
    if copy.checked_at is None:
        return "proven when it was written, not checked again since"
    outcome = "passed" if copy.passed else "failed"
    return escaped(f"{outcome} its last check on {moment(copy.checked_at)}, {copy.method or 'could not be read'}")


def _delete(found: Detail, copy: Copy) -> None:
    others = [one.storage for one in found.held.copies if one.storage != copy.storage]
    left = (
        f"It stays on {', '.join(others)}." if others else "It is the only copy: nothing of this backup will be left."
    )

    def act(who: Identity) -> None:
        backups.delete(who, found.held.backup_id, Address(copy.storage))
        if not others:
            st.query_params.clear()
        _say(f"The copy on {copy.storage} is deleted.")

    does = (
        f"The backup of {found.held.job} from {moment(found.held.started_at)} is removed from {copy.storage}, and "
        f"cannot be brought back from there. {left}"
    )
    confirm("Delete this copy?", does, act, button="Delete")


def _contents(manifest: Manifest) -> None:
    st.subheader("What is in it")
    rows = [row for file in manifest.files for row in _rows(file)]
    st.dataframe(pd.DataFrame(rows), hide_index=True, height="content")
    notes = {note for file in manifest.files if file.contents for note in file.contents.notes}
    for note in sorted(notes):
        st.caption(escaped(note))


def _rows(file: ManifestFile) -> list[dict[str, str]]:
    first = _row(file.label, file.contents) | {
        "Dump": words.size(file.dump_size),
        "Stored": words.size(file.size),
        "File": file.name,
    }
    return [first, *(_row(f"  {name}", held) for name, held in file.databases.items())]


def _row(name: str, held: Contents | None) -> dict[str, str]:
    rows = f"{'about ' if held.estimated else ''}{sum(held.rows.values()):,}" if held else ""
    return {"Database": name, "Tables": f"{held.tables:,}" if held else "", "Rows": rows}


def _history(found: Detail) -> None:
    st.subheader("Checks")
    if not found.checks:
        st.caption("No copy was checked again since it was proven at the end of the backup.")
        return
    rows = [
        {
            "When": moment(one.moment),
            "Where": one.storage,
            "Result": "✓ passed" if one.passed else "✗ failed",
            "How": one.method,
            "Remarks": one.detail,
        }
        for one in found.checks
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, height="content")
