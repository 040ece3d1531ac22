"""Trained runs as programs that other software runs: torch.export, ONNX, and a JSON that says how to call them."""
