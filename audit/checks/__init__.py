"""What `packledger verify` compares, one module for each thing that can be wrong."""
