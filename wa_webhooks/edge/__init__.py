"""The receiver as a Supabase Edge Function: TypeScript for Deno, which ships as data."""

from __future__ import annotations

from pathlib import Path

FUNCTION = "whatsapp-webhook"
_FOLDER = Path(__file__).parent


def functions() -> dict[str, str]:
    """Return the files of the Edge Functions by their paths below a project's `supabase` folder."""
    files = sorted((_FOLDER / FUNCTION).iterdir())
    return {f"functions/{FUNCTION}/{file.name}": file.read_text("utf-8") for file in files if file.is_file()}
