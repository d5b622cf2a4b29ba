"""The first hour of somebody who has never seen smtd, from the clone to an edit that comes back."""
