"""From package outputs to a layer zip: tasks for the guest, and reading its reports."""
