"""The pages for people: reviewers, auditors, staff. Server-rendered; scripts only add comfort."""
