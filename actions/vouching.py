"""Whom a provider may speak for: who names one could let it vouch for anybody, so only an administrator may."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import PermissionError
from services.accounts import single_sign_on
from services.accounts.single_sign_on import Policy
from services.records import database

if TYPE_CHECKING:
    from actions.door import Identity
    from blocks.providers import ProviderBlock


def policy_of(name: str, block: ProviderBlock) -> Policy:
    """What is made of those who come from a saved provider. Raises WrongKey or EncryptionError."""
    config = block.config()
    return Policy(name, config.provision, config.default_group, config.mapped_groups)


def require_possible(who: Identity, block: ProviderBlock) -> None:
    """Raises PermissionError unless an administrator asks, and ConfigurationError for a group that it cannot give."""
    if not who.administrator:
        raise PermissionError(
            f"{who.name} may not say who vouches for everybody", hint="an administrator has to add or change providers"
        )
    policy = policy_of("", block)
    default = [policy.default_group] if policy.default_group else []
    single_sign_on.require_groups(database(), [*default, *policy.groups.values()])
