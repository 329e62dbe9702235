"""How sure a number is, and whether two numbers differ. numpy alone; scipy only where a test needs it."""
