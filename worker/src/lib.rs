//! Generates load: users, their schedule, and what each of them felt.
