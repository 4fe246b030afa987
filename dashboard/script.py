"""The Streamlit script: whoever has a session gets the pages that their permissions open.

Streamlit runs this file from the top at every click. The guard has let the connection in; who it is is asked anew here,
in every fragment and in every action, because a session can end while a page is open.
"""

from __future__ import annotations

import streamlit as st

from dashboard import visitor
from dashboard.navigation import navigate
from dashboard.place import ICON
from dashboard.views import SECTIONS

st.set_page_config(page_title="dbackup", page_icon=str(ICON), layout="wide")
st.logo(str(ICON), size="large", link=None)
navigate(visitor.required(), SECTIONS)
