"""What those who extend flashcore test with: conformance kits, a virtual clock, fakes."""
