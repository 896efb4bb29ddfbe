"""`ablate doctor`: whether what a study needs is there, and what to do where it is not."""
