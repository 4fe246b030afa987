"""Channels: the ways by which somebody is told what happened."""

from __future__ import annotations

import streamlit as st

from actions import forms, saved
from actions.door import Identity
from core.jobs import Address, JobSpec
from core.permissions import Permission
from dashboard.components import collection
from dashboard.components.problems import escaped


def draw(who: Identity) -> None:
    """The page."""
    collection.draw(CHANNELS, who)


def _test(who: Identity, name: str) -> None:
    channel = saved.test_channel(who, Address(name))
    st.success(f"A test message was taken by: {escaped(channel)}.", icon=":material/check:")


def _needs(spec: JobSpec) -> list[str]:
    return [rule.channel for rule in spec.notify]


CHANNELS = collection.Collection(
    noun="channel",
    title="Channels",
    nothing="No channel is saved yet. Add one, so that somebody hears of a backup that failed or did not come.",
    remains="Nobody is told by it any more.",
    change_note="Jobs that use it follow at their next run.",
    writing=Permission.NOTIFICATIONS_WRITE,
    testing=Permission.NOTIFICATIONS_WRITE,
    listed=saved.channels,
    forms=forms.channel_forms,
    form=forms.channel_form,
    add=forms.add_channel,
    change=forms.change_channel,
    remove=saved.remove_channel,
    test=_test,
    needs=_needs,
)
