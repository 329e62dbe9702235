"""Whether a results folder says what its predictions and sample sets give: every number made again and compared."""
