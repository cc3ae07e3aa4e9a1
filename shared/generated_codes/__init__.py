"""Generated codes: any text, made into a picture on request, kept until its time is over."""
