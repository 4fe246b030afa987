"""The Streamlit dashboard. Empty so far: the command line and the Prefect UI show what there is."""
