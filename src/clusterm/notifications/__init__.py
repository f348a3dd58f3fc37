"""Notifications to webhooks."""
