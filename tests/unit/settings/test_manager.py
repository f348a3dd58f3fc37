"""Settings of the section manager."""

import pytest
from pydantic import ValidationError

from clusterm.settings import ManagerSettings


@pytest.mark.parametrize("addr", ["unix:", "unix:relative", "unix:/a\nb"])
def test_addresses_of_no_socket(addr: str) -> None:
    with pytest.raises(ValidationError):
        ManagerSettings(addr=addr)
