"""A real service process over the fake encoder: `python -m tests.fake_service`, settings from the environment."""

import uvicorn

from app.factory import create_app
from app.settings import load_settings
from tests.fakes import load_fake


def main() -> None:
    """Serves until it is told to stop, or killed."""
    settings = load_settings()
    app = create_app(settings, load=load_fake)
    uvicorn.run(app, host=settings.host, port=settings.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
