"""From a call's credential to a principal: a bearer token, or the subject of a client certificate (mTLS)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from coherd.contract.reasons import Refusal
from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.core.access import ANONYMOUS, Principal
from coherd_server.rpc.errors import Context

_AUTHORIZATION: Final = "authorization"
_BEARER: Final = "bearer "


def token_digest(token: str) -> str:
    """What a configuration holds instead of a token: hex SHA-256."""
    return hashlib.sha256(token.encode()).hexdigest()


class Principals:
    """Knows the credentials in force.

    Args:
        tokens: principal's name to the SHA-256 of its token, hex.
        client_certificates: whether clients show certificates; the first common name is the principal.
    """

    def __init__(self, tokens: Mapping[str, str], *, client_certificates: bool = False) -> None:
        self._tokens = {digest.lower(): name for name, digest in tokens.items()}
        self._client_certificates = client_certificates

    def of(self, context: Context) -> Principal:
        """The caller's principal; anonymous without a credential.

        Raises:
            Refusal: UNAUTHENTICATED, if a token is shown and not known.
        """
        if self._tokens:
            for key, value in context.invocation_metadata() or ():
                if key == _AUTHORIZATION:
                    return self._of_token(value if isinstance(value, str) else "")
        if self._client_certificates:
            for name in context.auth_context().get("x509_common_name", ()):
                return Principal(name.decode(errors="replace"))
        return ANONYMOUS

    def _of_token(self, value: str) -> Principal:
        if value[: len(_BEARER)].lower() == _BEARER:
            digest = token_digest(value[len(_BEARER) :].strip())
            for known, name in self._tokens.items():
                if hmac.compare_digest(known, digest):
                    return Principal(name)
        raise Refusal(ErrorReason.ERROR_REASON_UNAUTHENTICATED, "the credential is not known")
