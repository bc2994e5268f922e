"""Who somebody is and what a credential may do. Rules about accounts and tokens go here."""
