"""The paper's user study, repeatable: a blind ranking page, and what its answers say."""
