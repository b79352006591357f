"""The SDK's pure core: history in, activations out; commands in, completions out. No I/O."""
