"""From predictions and features to records: pure functions, for the stage that scores and for whoever checks it."""
