"""From predictions and targets to one number: match, compare, weigh, add up."""
