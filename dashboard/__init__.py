"""The dashboard: pages that ask actions and draw their answers, and the way in to them."""
