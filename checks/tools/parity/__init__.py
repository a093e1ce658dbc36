"""What two environments are made of, gathered in one way and compared fact by fact."""
