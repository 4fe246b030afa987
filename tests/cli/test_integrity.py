"""Whether everything is checked by itself: said, switched on, and off again."""

from __future__ import annotations

from deployments import system_schedules
from tests.cli.conftest import Dbackup


def test_checking_everything_is_off_until_it_is_switched_on_and_off_again(dbackup: Dbackup) -> None:
    system_schedules.ensure()
    first = dbackup.succeeds("integrity", "status")
    assert (first["active"], first["schedule"]["paused"]) == (False, True)
    assert "switch it on: dbackup integrity on" in dbackup("integrity", "status").out
    assert dbackup.succeeds("integrity", "on") == {"active": True}
    on = dbackup.succeeds("integrity", "status")
    assert (on["active"], on["schedule"]["paused"]) == (True, False)
    assert on["schedule"]["next_times"]
    assert "switch it on" not in dbackup("integrity", "status").out
    assert dbackup.succeeds("integrity", "off") == {"active": False}
    assert dbackup.succeeds("integrity", "status")["active"] is False
