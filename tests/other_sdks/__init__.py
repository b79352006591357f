"""Workers and clients of SDKs that share no code with Python's, on both servers."""
