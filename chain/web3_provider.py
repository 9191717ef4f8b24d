"""web3 over the pool, for contract work: same providers, limits and checks as everything else.

Reads only. Transactions leave through :meth:`ChainClient.send_raw`, after their
bytes were stored; this provider refuses to send, so that no convenience method
of web3 can broadcast something the database does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from eth_typing import URI
from web3 import AsyncWeb3
from web3.providers.async_base import AsyncBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from chain.client import ChainClient
from chain.rpc.errors import CallReverted, MethodNotSupported, NodeError, RpcError
from chain.rpc.wire import Call, Shape
from config.units import to_hex

_ANYTHING: Final = Shape(Any)
_REFUSED: Final = ("eth_send", "personal_", "eth_sign")


class PoolProvider(AsyncBaseProvider):
    """An :class:`AsyncBaseProvider` of web3 8 over a :class:`ChainClient`.

    No retries, no cache and no batches (:meth:`ChainClient.batch` has them). CCIP read
    (EIP-3668) is off: with it a contract could make this process fetch any URL.
    """

    global_ccip_read_enabled = False

    def __init__(self, client: ChainClient) -> None:
        super().__init__(cache_allowed_requests=False)
        self._client = client
        self.endpoint_uri = URI(f"pool:{client.name}")

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """:raises RpcError: no provider answered; a node's own error is in the response."""
        try:
            result = await self._client.request(_call(method, params))
        except (CallReverted, NodeError) as error:
            return _failure(error)
        return cast(RPCResponse, {"jsonrpc": "2.0", "id": 0, "result": result})

    async def is_connected(self, show_traceback: bool = False) -> bool:
        try:
            return await self._client.remote_chain_id() == self._client.chain_id
        except RpcError:
            if show_traceback:
                raise
            return False


def web3_over(client: ChainClient) -> AsyncWeb3[PoolProvider]:
    """A web3 without middleware that fills in, signs or sends."""
    return AsyncWeb3(PoolProvider(client), middleware=[])


def _call(method: str, params: Any) -> Call[Any]:
    if method.startswith(_REFUSED):
        raise MethodNotSupported(
            f"{method} is not sent through web3", remedy="sign, store, then ChainClient.send_raw"
        )
    return Call(method, _plain(params or ()), _ANYTHING, lambda result: result)


def _plain(value: Any) -> Any:
    """Parameters as JSON knows them: web3 leaves bytes and its own mappings in places."""
    if isinstance(value, bytes | bytearray):
        return to_hex(bytes(value))
    if isinstance(value, dict) or hasattr(value, "items"):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def _failure(error: CallReverted | NodeError) -> RPCResponse:
    if isinstance(error, CallReverted):
        # web3 tells a revert by code 3 (geth's) and takes the data apart itself.
        body: dict[str, Any] = {"code": 3, "message": error.what, "data": to_hex(error.data)}
    else:
        body = {"code": error.code if error.code is not None else -32000, "message": error.message}
    return cast(RPCResponse, {"jsonrpc": "2.0", "id": 0, "error": body})
