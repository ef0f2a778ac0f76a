"""What a rebuild is made to differ in: named variations of the driver's process and of the sandbox."""
