"""The pages: their snippets, their links to the code, and the site."""
