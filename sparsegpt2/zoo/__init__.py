"""The zoo: trained models, one folder each, and the code that exports, lists, releases and fetches such folders."""
