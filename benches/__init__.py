"""What sending and receiving cost, beside other libraries: `python -m benches`; see README.md."""
