"""The zoo: trained models, one folder each, and the code that makes such a folder (`export`), lists, releases and
fetches them."""
