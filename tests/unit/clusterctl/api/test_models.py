"""Validation of the responses of the service."""

import pytest
from support.factories import FOREIGN

from clusterctl.api.models import read
from clusterctl.errors import UnexpectedResponse
from clusterm.schemas import Event, Page


def test_an_answer_of_an_unknown_shape_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(UnexpectedResponse, match=r"items\.0\.at.*--json"):
        read(Page[Event], FOREIGN)
