"""What is asked for on a page goes into the queue whole, and no secret of it lies in Prefect in clear."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client

from blocks.addresses import clear
from blocks.api import prefect_api
from core.errors import ConfigurationError
from core.jobs import Address, IntegritySpec, RestoreSpec
from core.manifest import Manifest
from core.states import RunState
from deployments import pool, requests
from services.records import catalog

SECRET = "hunter2-and-more"
TARGET = f"postgresql://ada:{SECRET}@127.0.0.1:1/shop"


def forget(run: str) -> str:
    """Take a run out of the queue again, and give all that Prefect holds of it."""
    with prefect_api(), get_client(sync_client=True) as client:
        held = client.read_flow_run(UUID(run)).model_dump_json()
        client.delete_flow_run(UUID(run))
    return held


def test_a_restore_waits_in_the_queue_with_its_address_sealed(home: Path) -> None:
    pool.ensure()
    wish = RestoreSpec(
        backup="latest", storage=Address("disk"), target=Address(TARGET), names={"shop": "shop_restored"}
    )
    run = requests.put_restore(wish)
    found = requests.look(run, "restore")
    assert (found.state, found.report, found.steps) == (RunState.PENDING, None, ())
    assert not found.served, "nobody takes from the queue here, and the page has to say so"
    asked = RestoreSpec.model_validate(found.parameters["wish"])
    assert asked.target.is_sealed
    assert clear(asked.target) == TARGET
    assert asked.model_copy(update={"target": wish.target}) == wish
    assert SECRET not in forget(run)
    assert SECRET not in repr(found)


def test_a_check_waits_in_the_queue(home: Path) -> None:
    pool.ensure()
    run = requests.put_integrity(IntegritySpec(storages=(Address("disk"),)))
    assert requests.look(run, "integrity").run.kind == "integrity"
    forget(run)


@pytest.mark.parametrize("run", ["", "not an id", "00000000-0000-0000-0000-000000000000"])
def test_a_run_that_does_not_exist_is_said_to_be_none(home: Path, run: str) -> None:
    with pytest.raises(ConfigurationError, match="there is no run"):
        requests.look(run, "restore")


def test_databases_are_chosen_in_one_way_only() -> None:
    with pytest.raises(ValueError, match="chosen twice"):
        RestoreSpec(backup="latest", storage=Address("disk"), target=Address("shop"), database="a", names={"b": ""})


def test_a_restore_that_waits_says_whose_backup_it_is_of_and_what_it_will_write_into(home: Path) -> None:
    """By the catalog: nothing but this tells a limited user which restores are theirs before they begin."""
    written = (Path(__file__).parents[1] / "golden" / "v1" / "good").rglob("backup.meta.json")
    manifest = Manifest.parse(text := next(written).read_bytes())
    manifest = manifest.model_copy(update={"source": manifest.source.model_copy(update={"name": "shop"})})
    catalog().record(manifest, text, storage="disk", folder=f"golden/{manifest.backup_id}")
    pool.ensure()
    for target, known in (("crm", "crm"), (TARGET, "")):
        run = requests.put_restore(
            RestoreSpec(backup=manifest.backup_id, storage=Address("disk"), target=Address(target))
        )
        found = requests.look(run, "restore").run
        assert (found.source, found.target) == ("shop", known)
        forget(run)
    catalog().forget_location(manifest.backup_id, "disk")
