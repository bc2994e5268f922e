"""The pages, their templates and their stylesheet; answered from read models alone."""
