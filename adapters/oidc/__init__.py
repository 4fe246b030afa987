"""The providers of single sign-on. A new kind is one module beside these and one name in the table."""

from adapters.oidc.authentik import Authentik
from adapters.oidc.generic import Generic
from adapters.table import index

PROVIDERS = index("kind", Generic, Authentik)
