"""The demo's pure parts: what it says, shows and concludes."""
