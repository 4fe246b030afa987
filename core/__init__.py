"""The vocabulary and the rules: no I/O, no Prefect, no SQL, no Streamlit."""
