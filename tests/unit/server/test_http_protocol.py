"""Time-outs of connections whose client reads slowly."""

from unittest.mock import Mock

import pytest
from uvicorn import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.server import ServerState

from clusterm.server.http_protocol import HttpProtocol


@pytest.mark.parametrize(("reads", "aborted"), [(20_000, False), (1000, True)])
def test_a_client_that_reads_slowly_is_borne_with(reads: int, aborted: bool) -> None:
    transport, loop = Mock(), Mock()
    transport.get_write_buffer_size.return_value = 100_000
    connection = HttpProtocol(1, config=Config(app=Mock()), server_state=ServerState(), app_state={}, _loop=loop)
    connection.transport, connection.flow = transport, FlowControl(transport)
    connection.pause_writing()
    for _ in range(3):
        transport.get_write_buffer_size.return_value -= reads
        _, expire, unread = loop.call_later.call_args.args
        expire(unread)
    assert transport.abort.called is aborted
