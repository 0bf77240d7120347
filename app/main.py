"""The service for `uvicorn app.main:app`, from the environment's settings."""

from app.factory import create_app
from app.memory import settle, share_heaps
from app.settings import load_settings
from app.telemetry import configure_logging

share_heaps()
_settings = load_settings()
configure_logging(_settings.log_level)
app = create_app(_settings)
settle()
