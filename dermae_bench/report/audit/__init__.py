"""What the digits of a published table allow: counts, F1 averages, baselines, copies, impossible pairs."""
