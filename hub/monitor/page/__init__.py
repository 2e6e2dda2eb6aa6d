"""The files of the page, which a browser gets as they are: nothing here is made by a build."""
