"""What helps to judge a change of policy: differences, softening and back-tests."""
