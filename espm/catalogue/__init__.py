"""What classes there are: one module for each way to ask."""
