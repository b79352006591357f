"""A bonus for users, every hour and every year: schedules, and a database."""
