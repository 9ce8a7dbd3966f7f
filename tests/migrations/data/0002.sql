CREATE TABLE public.imagestore_alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.imagestore_blobs (
    digest bytea NOT NULL,
    data bytea NOT NULL,
    CONSTRAINT imagestore_blobs_digest_ck CHECK ((length(digest) = 32))
);
CREATE TABLE public.imagestore_content_location (
    slot integer NOT NULL,
    identity text NOT NULL,
    CONSTRAINT imagestore_content_location_slot_ck CHECK ((slot = 1))
);
CREATE TABLE public.imagestore_contents (
    diff_id bytea NOT NULL,
    name text NOT NULL,
    size bigint NOT NULL,
    CONSTRAINT imagestore_contents_diff_id_ck CHECK ((length(diff_id) = 32))
);
CREATE TABLE public.imagestore_images (
    id bytea NOT NULL,
    parent bytea,
    last_updated text,
    last_used text,
    top bytea
);
CREATE TABLE public.imagestore_layers (
    chain_id bytea NOT NULL,
    diff_id bytea NOT NULL,
    parent bytea,
    size bigint,
    CONSTRAINT imagestore_layers_chain_id_ck CHECK ((length(chain_id) = 32)),
    CONSTRAINT imagestore_layers_diff_id_ck CHECK ((length(diff_id) = 32)),
    CONSTRAINT imagestore_layers_size_ck CHECK ((size >= 0))
);
CREATE TABLE public.imagestore_lease_layers (
    lease text NOT NULL COLLATE pg_catalog."C",
    chain_id bytea NOT NULL
);
CREATE TABLE public.imagestore_leases (
    id text NOT NULL COLLATE pg_catalog."C",
    expires text NOT NULL COLLATE pg_catalog."C",
    labels text NOT NULL
);
CREATE TABLE public.imagestore_metadata (
    digest bytea NOT NULL,
    key bytea NOT NULL,
    value bytea NOT NULL
);
CREATE TABLE public.imagestore_references (
    name text NOT NULL COLLATE pg_catalog."C",
    repository text NOT NULL COLLATE pg_catalog."C",
    image bytea NOT NULL
);
INSERT INTO public.imagestore_alembic_version VALUES ('0002');
INSERT INTO public.imagestore_blobs VALUES ('\x705322598d037f2cf3eb55cacceebcea69d67cf78d127e396c0ba072a2d32746', '\x7b22617263686974656374757265223a22616d643634222c22636f6e666967223a7b22436d64223a5b227368225d7d2c2263726561746564223a22323032302d31302d30315431323a30303a30302e3132333435363738395a222c22686973746f7279223a5b7b2263726561746564223a22323032302d31302d30315431323a30303a30305a222c22637265617465645f6279223a22414444205c7530303363227d5d2c226f73223a226c696e7578222c22726f6f746673223a7b2274797065223a226c6179657273222c22646966665f696473223a5b227368613235363a30303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303031225d7d7d');
INSERT INTO public.imagestore_blobs VALUES ('\x1740568903f95033d8c1a5cf34d64bc93d80ae1978bf51258047705d41f8b8ad', '\x7b22617263686974656374757265223a22616d643634222c22636f6e666967223a7b22436d64223a5b227368225d7d2c2263726561746564223a22323032302d31302d30325431323a30303a30302e3132333435363738395a222c22686973746f7279223a5b7b2263726561746564223a22323032302d31302d30325431323a30303a30305a222c22637265617465645f6279223a22414444205c7530303363227d5d2c226f73223a226c696e7578222c22726f6f746673223a7b2274797065223a226c6179657273222c22646966665f696473223a5b227368613235363a30303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303032225d7d7d');
INSERT INTO public.imagestore_blobs VALUES ('\x76263117728e8d8c53208b8fc494639e9da61bac9dc4b39de0af4f903f164f06', '\x7b22617263686974656374757265223a22616d643634222c22636f6e666967223a7b22436d64223a5b227368225d7d2c2263726561746564223a22323032302d31302d30335431323a30303a30302e3132333435363738395a222c22686973746f7279223a5b7b2263726561746564223a22323032302d31302d30335431323a30303a30305a222c22637265617465645f6279223a22414444205c7530303363227d5d2c226f73223a226c696e7578222c22726f6f746673223a7b2274797065223a226c6179657273222c22646966665f696473223a5b227368613235363a30303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303033225d7d7d');
INSERT INTO public.imagestore_blobs VALUES ('\x453361fd925712bb2f4ef496dfa3480f0d7a1e22fc15dc69e72aeb8086c135ce', '\x6e6f20696d616765');
INSERT INTO public.imagestore_images VALUES ('\x705322598d037f2cf3eb55cacceebcea69d67cf78d127e396c0ba072a2d32746', NULL, '2020-10-09T10:00:00.500000000Z', '2020-10-10T00:00:00.000000000Z', NULL);
INSERT INTO public.imagestore_images VALUES ('\x1740568903f95033d8c1a5cf34d64bc93d80ae1978bf51258047705d41f8b8ad', '\x705322598d037f2cf3eb55cacceebcea69d67cf78d127e396c0ba072a2d32746', NULL, NULL, NULL);
INSERT INTO public.imagestore_images VALUES ('\x76263117728e8d8c53208b8fc494639e9da61bac9dc4b39de0af4f903f164f06', NULL, NULL, NULL, NULL);
INSERT INTO public.imagestore_metadata VALUES ('\x705322598d037f2cf3eb55cacceebcea69d67cf78d127e396c0ba072a2d32746', '\x6c61737455706461746564', '\x323032302d31302d30395431323a30303a30302e352b30323a3030');
INSERT INTO public.imagestore_metadata VALUES ('\x705322598d037f2cf3eb55cacceebcea69d67cf78d127e396c0ba072a2d32746', '\x6c61737455736564', '\x323032302d31302d31305430303a30303a30305a');
INSERT INTO public.imagestore_metadata VALUES ('\x705322598d037f2cf3eb55cacceebcea69d67cf78d127e396c0ba072a2d32746', '\x6275696c744c6f63616c6c79', '\x01');
INSERT INTO public.imagestore_metadata VALUES ('\x1740568903f95033d8c1a5cf34d64bc93d80ae1978bf51258047705d41f8b8ad', '\x706172656e74', '\x7368613235363a37303533323235393864303337663263663365623535636163636565626365613639643637636637386431323765333936633062613037326132643332373436');
INSERT INTO public.imagestore_metadata VALUES ('\x76263117728e8d8c53208b8fc494639e9da61bac9dc4b39de0af4f903f164f06', '\x706172656e74', '\x7368613235363a62363835363563663536393932373366366132313834376233666534343732363337346362643663336266646338323935323766316462326130353034333431');
INSERT INTO public.imagestore_metadata VALUES ('\x453361fd925712bb2f4ef496dfa3480f0d7a1e22fc15dc69e72aeb8086c135ce', '\x636166e9', '\x00ff');
ALTER TABLE ONLY public.imagestore_alembic_version
    ADD CONSTRAINT imagestore_alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.imagestore_blobs
    ADD CONSTRAINT imagestore_blobs_pk PRIMARY KEY (digest);
ALTER TABLE ONLY public.imagestore_content_location
    ADD CONSTRAINT imagestore_content_location_pk PRIMARY KEY (slot);
ALTER TABLE ONLY public.imagestore_contents
    ADD CONSTRAINT imagestore_contents_name_uq UNIQUE (name);
ALTER TABLE ONLY public.imagestore_contents
    ADD CONSTRAINT imagestore_contents_pk PRIMARY KEY (diff_id);
ALTER TABLE ONLY public.imagestore_images
    ADD CONSTRAINT imagestore_images_pk PRIMARY KEY (id);
ALTER TABLE ONLY public.imagestore_layers
    ADD CONSTRAINT imagestore_layers_pk PRIMARY KEY (chain_id);
ALTER TABLE ONLY public.imagestore_lease_layers
    ADD CONSTRAINT imagestore_lease_layers_pk PRIMARY KEY (lease, chain_id);
ALTER TABLE ONLY public.imagestore_leases
    ADD CONSTRAINT imagestore_leases_pk PRIMARY KEY (id);
ALTER TABLE ONLY public.imagestore_metadata
    ADD CONSTRAINT imagestore_metadata_pk PRIMARY KEY (digest, key);
ALTER TABLE ONLY public.imagestore_references
    ADD CONSTRAINT imagestore_references_pk PRIMARY KEY (name);
CREATE INDEX imagestore_images_parent_ix ON public.imagestore_images USING btree (parent);
CREATE INDEX imagestore_layers_diff_id_ix ON public.imagestore_layers USING btree (diff_id);
CREATE INDEX imagestore_layers_parent_ix ON public.imagestore_layers USING btree (parent, chain_id);
CREATE INDEX imagestore_lease_layers_chain_id_ix ON public.imagestore_lease_layers USING btree (chain_id);
CREATE INDEX imagestore_leases_expires_ix ON public.imagestore_leases USING btree (expires);
CREATE INDEX imagestore_metadata_parent_named_ix ON public.imagestore_metadata USING btree (value) WHERE (length(value) = 71);
CREATE INDEX imagestore_references_image_ix ON public.imagestore_references USING btree (image);
CREATE INDEX imagestore_references_repository_ix ON public.imagestore_references USING btree (repository, name);
ALTER TABLE ONLY public.imagestore_images
    ADD CONSTRAINT imagestore_images_id_fk FOREIGN KEY (id) REFERENCES public.imagestore_blobs(digest) ON DELETE CASCADE;
ALTER TABLE ONLY public.imagestore_images
    ADD CONSTRAINT imagestore_images_parent_fk FOREIGN KEY (parent) REFERENCES public.imagestore_images(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.imagestore_images
    ADD CONSTRAINT imagestore_images_top_fk FOREIGN KEY (top) REFERENCES public.imagestore_layers(chain_id);
ALTER TABLE ONLY public.imagestore_layers
    ADD CONSTRAINT imagestore_layers_parent_fk FOREIGN KEY (parent) REFERENCES public.imagestore_layers(chain_id);
ALTER TABLE ONLY public.imagestore_lease_layers
    ADD CONSTRAINT imagestore_lease_layers_chain_id_fk FOREIGN KEY (chain_id) REFERENCES public.imagestore_layers(chain_id);
ALTER TABLE ONLY public.imagestore_lease_layers
    ADD CONSTRAINT imagestore_lease_layers_lease_fk FOREIGN KEY (lease) REFERENCES public.imagestore_leases(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.imagestore_metadata
    ADD CONSTRAINT imagestore_metadata_digest_fk FOREIGN KEY (digest) REFERENCES public.imagestore_blobs(digest) ON DELETE CASCADE;
ALTER TABLE ONLY public.imagestore_references
    ADD CONSTRAINT imagestore_references_image_fk FOREIGN KEY (image) REFERENCES public.imagestore_images(id) ON DELETE CASCADE;
