"""Lints of data: images, lesions and labels that a test set shares with what it is meant to judge. numpy only."""
