"""What people see of responses, one module per noun."""
