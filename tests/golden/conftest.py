import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--renew-golden",
        action="store_true",
        help="record what is rendered now as what is expected; look at the difference in git before committing it",
    )
