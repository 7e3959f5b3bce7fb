"""The one broad catch on screen: a page or a repeating part that fails shows a sentence, never a traceback."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from typing import ParamSpec

import streamlit as st

from core.atomic import no_room
from core.errors import BadInput, DamagedFile, WrongMoment

P = ParamSpec("P")


def guarded(part: Callable[P, None]) -> Callable[P, None]:
    """`part` with its errors shown as sentences; what Streamlit itself raises to stop or rerun passes through."""

    @functools.wraps(part)
    def shown(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            part(*args, **kwargs)
        except (BadInput, DamagedFile, WrongMoment) as error:
            st.error(f"{str(error)[0].upper()}{str(error)[1:]}", icon=":material/error:")
        except Exception as error:
            if type(error).__module__.startswith("streamlit"):
                raise
            traceback.print_exc()
            full = no_room(error) if isinstance(error, OSError) else None
            said = full or f"this part met something unexpected ({type(error).__name__})"
            st.error(
                f"{said[0].upper()}{said[1:]}. Your runs are safe; reload the page, or choose another run.",
                icon=":material/error:",
            )

    return shown
